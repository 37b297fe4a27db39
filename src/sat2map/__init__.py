"""Turn satellite imagery into maps: train, judge and use pix2pix models."""
