"""The settings of a training in groups: name, default, unit and meaning of each.

The defaults are the preset `default`. Each name is unique over all groups, so that it can be a flag.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sat2map.settings.choices import Adversarial, Augment, Device, Direction, Norm, TrainPrecision, Upsample

Decay = Annotated[float, Field(ge=0, lt=1)]
Scale = Annotated[float, Field(ge=0.1, le=10)]


class Group(BaseModel):
    """Base of the groups: frozen, and an unknown name is an error."""

    # Validators are built when they are first used: most commands use none of them.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class DataSettings(Group):
    """Pairs: where they are, how they are cut and how they are varied."""

    path: Path = Field(
        Path("data"), description="Folder or CSV of pairs; maps, facades, cityscapes: downloaded."
    )
    direction: Direction = Field("source-to-target", description="Which side is the input.")
    group_column: str | None = Field(
        None, description="CSV column of groups (places) that a split made here keeps whole."
    )
    val_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the pairs held out where there is no val split (0..1)."
    )
    source_bands: int = Field(3, ge=1, le=64, description="Bands of the source images.")
    target_bands: Literal[1, 3] = Field(3, description="Bands of the target images.")
    palette: str = Field(
        "auto",
        description="Map classes: a built-in name, a JSON file, or none for targets that are photos; auto: "
        "palette.json beside the pairs, else maps.",
    )
    gsd: float | None = Field(
        None, gt=0, le=1e4, description="Ground sample distance of the network's input (metres per pixel)."
    )
    image_size: int | None = Field(
        None, ge=16, le=16384, description="Side that images are resized to for use (px); none: as they are."
    )
    load_size: int | None = Field(
        None, ge=16, le=16384, description="Side that training images are resized to (px); none: as they are."
    )
    crop_size: int = Field(
        256, ge=16, le=4096, description="Side of the random crop of a training step (px)."
    )
    augment: Augment = Field(
        "symmetries", description="Random mirror, or one of the eight right-angle symmetries."
    )
    scale_jitter: tuple[Scale, Scale] = Field(
        (0.667, 1.556), description="Smallest and largest factor on the ground size of a pixel; 1 1: off."
    )
    photo_jitter: float = Field(
        1.0,
        ge=0,
        le=2,
        description="Strength of random light, haze, noise, blur and JPEG in sources; 0: off.",
    )
    color_jitter: float = Field(
        0.0, ge=0, le=0.5, description="Random gain and offset of the source's bands (share of the range)."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> DataSettings:
        if self.load_size is not None and self.crop_size > self.load_size:
            raise ValueError(
                f"crop_size {self.crop_size} is larger than load_size {self.load_size}: "
                f"lower crop_size to {self.load_size} or raise load_size"
            )
        if self.scale_jitter[0] > self.scale_jitter[1]:
            low, high = self.scale_jitter
            raise ValueError(f"scale_jitter {low:g} {high:g} runs downwards: give the smaller factor first")
        return self

    @property
    def draws_maps(self) -> bool:
        """Whether the output has map classes: there is a palette, and the output is the map."""
        return self.palette != "none" and self.direction == "source-to-target"

    @property
    def file_bands(self) -> tuple[int, int]:
        """Bands of source and target in the files."""
        return self.source_bands, self.target_bands


class NetworkSettings(Group):
    """Generator and discriminator."""

    generator: str = Field(
        "auto", description="Architecture; auto: efficient-unet where the target has a palette, else unet."
    )
    pretrained: str = Field(
        "auto", description="Weights the encoder starts from: auto (those installed), none, or a name."
    )
    width: int = Field(64, ge=4, le=1024, description="Channels of the first layer (the paper's ngf).")
    depth: int | None = Field(
        None, ge=2, le=12, description="Number of down-sampling steps; none: as many as crop_size allows."
    )
    norm: Norm = Field("batch", description="Normalisation in both networks.")
    upsample: Upsample = Field(
        "transpose", description="Decoder step: transposed, resize or pixel-shuffle convolution."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout rate in the inner decoder layers.")
    discriminator_width: int = Field(
        64, ge=4, le=1024, description="Channels of the discriminator's first layer (the paper's ndf)."
    )
    discriminator_layers: int = Field(
        3, ge=1, le=6, description="Strided layers of the PatchGAN; 3 sees 70 px."
    )


class LossSettings(Group):
    """What the generator is trained for; a weight of 0 leaves a loss out."""

    l1_weight: float = Field(1.0, ge=0, description="Weight of the L1 loss (the paper's lambda).")
    l1_balance: float = Field(
        0.0, ge=0, le=1,
        description="How much rare classes count more in L1 (0: all the same, 1: inversely to frequency).",
    )  # fmt: skip
    cross_entropy_weight: float = Field(
        1.0, ge=0, description="Weight of the cross-entropy of palette colours, or of a class head."
    )
    iou_weight: float = Field(1.0, ge=0, description="Weight of the soft IoU of the map classes.")
    class_balance: float = Field(
        0.5, ge=0, le=1, description="How much rare classes count more in the cross-entropy (0..1, as in L1)."
    )
    adversarial_weight: float = Field(
        0.0, ge=0, description="Weight of the adversarial loss; 0: no discriminator is trained."
    )
    adversarial: Adversarial = Field("bce", description="Form of the adversarial loss.")
    extra: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Weights of losses that you add in code, by name."
    )


class OptimizerSettings(Group):
    """How a batch becomes an update."""

    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Adam, or with decoupled weight decay.")
    learning_rate: float = Field(2e-3, gt=0, description="Step size.")
    encoder_rate: float = Field(
        0.5, ge=0, le=1, description="Factor on the learning rate of a pretrained encoder."
    )
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="Decays of the two moments.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of adamw.")
    batch_size: int = Field(8, ge=1, le=65536, description="Pairs in an update.")
    accumulate: int = Field(
        1, ge=1, le=1024, description="Parts that a batch is computed in, to save memory."
    )
    ema: float = Field(
        0.998, ge=0, lt=1, description="Decay per step of the moving average of the generator; 0: off."
    )


class ScheduleSettings(Group):
    """How long, and the learning rate on the way."""

    epochs: int = Field(200, ge=1, le=10**7, description="Passes over the training pairs.")
    minutes: float | None = Field(
        None, gt=0, le=1e6, description="Longest time of a training (minutes), if its epochs take longer."
    )
    patience: int | None = Field(
        None, ge=1, description="Validations without a better score after which training stops; none: never."
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="Learning rate: constant, linear decay in the second half, or cosine decay."
    )
    warmup_steps: int = Field(200, ge=0, description="Steps over which the learning rate rises from 0.")
    validate_every: int = Field(10, ge=1, description="Epochs between validations.")


class OutputSettings(Group):
    """What is written."""

    run: Path = Field(Path("runs/train"), description="Folder that the run is written to.")
    checkpoint_minutes: float = Field(5.0, gt=0, description="Longest time between checkpoints (minutes).")
    keep_last: int = Field(
        0, ge=0, le=10000, description="Models of the latest validations that are kept beside best and last."
    )


class ComputeSettings(Group):
    """Where and how it runs."""

    seed: int = Field(0, ge=0, lt=2**63, description="Seed of every random choice.")
    device: Device = Field("auto", description="Where to train; auto: cuda, then mps, then cpu.")
    precision: TrainPrecision = Field(
        "auto", description="Arithmetic of the networks; auto: bf16 where it is fast, fp16 on older GPUs."
    )
    workers: int = Field(0, ge=0, le=1024, description="Threads that decode images; 0: one per core.")


class TrainSettings(Group):
    """Everything that decides a training; two runs with equal settings and data are equal."""

    data: DataSettings = DataSettings()
    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    output: OutputSettings = OutputSettings()
    compute: ComputeSettings = ComputeSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> TrainSettings:
        least = 3 * 2**self.network.discriminator_layers
        if self.loss.adversarial_weight and self.data.crop_size < least:
            raise ValueError(
                f"crop_size {self.data.crop_size} leaves the discriminator no patch with "
                f"discriminator_layers {self.network.discriminator_layers}: raise crop_size to {least} or "
                "lower discriminator_layers"
            )
        batch_norm_of_one = self.network.norm == "batch" and self.optimizer.batch_size == 1
        if batch_norm_of_one and self.optimizer.ema:
            raise ValueError(
                "ema with norm 'batch' at batch_size 1 averages statistics that mean nothing: "
                "raise batch_size to 4, use norm 'group', or set ema to 0"
            )
        return self
