"""The U-Net of the paper."""
