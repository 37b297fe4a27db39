"""The palette generator: a U-Net on a pretrained EfficientNet-Lite encoder."""
