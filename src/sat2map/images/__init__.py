"""What a sample and a colour mean: pixels, PNG files, palettes."""
