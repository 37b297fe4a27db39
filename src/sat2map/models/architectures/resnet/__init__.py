"""The ResNet generators of CycleGAN and pix2pixHD."""
