"""The benchmark `faceformer.py` decodes frame by frame what FaceFormer's published loop decodes from scratch at each frame."""

import torch
from faceformer import HEADS, WIDTH, AutoregressiveDecoder

from talker_cli.model.config import ModelConfig

FRAMES, PERIOD = 9, 4


def test_decoding_equals_the_published_loop() -> None:
    """Breaks if keeping keys and values makes another architecture of it than torch's own layer under the paper's masks."""
    torch.manual_seed(0)
    config = ModelConfig("teacher", "", ("a", "b", "c"), ("Ada",), fps=PERIOD, feature_width=8, style_width=4, emotions=("e",))
    decoder = AutoregressiveDecoder(config).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    features, style, emotion = torch.randn(2, FRAMES, 8), torch.randn(2, 4), torch.rand(2, FRAMES, 1)
    speech, identity = decoder.speech(features, emotion), decoder.style_in(style)[:, None]
    # Fan et al. 2022, section 3.2: a causal mask with a bias for each whole period, and speech of the same frame alone.
    past = torch.arange(FRAMES)[:, None] - torch.arange(FRAMES)
    slopes = torch.tensor([0.25, 0.0625, 0.015625, 0.00390625])
    causal = torch.where(past >= 0, -slopes[:, None, None] * (past // PERIOD), -torch.inf).repeat(2, 1, 1)
    assert len(slopes) == HEADS
    angle = (torch.arange(FRAMES) % PERIOD)[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    positions = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
    tokens = identity
    for frame in range(FRAMES):
        count = frame + 1
        motion = decoder.motion_out(
            decoder.layer(
                tokens + positions[:count], speech, causal[:, :count, :count], ~torch.eye(FRAMES, dtype=torch.bool)[:count]
            )
        )
        tokens = torch.cat([tokens, decoder.motion_in(motion[:, -1:]) + identity], 1)
    found = decoder(torch.zeros(2, FRAMES, 3), torch.ones(2), features, style, emotion)
    torch.testing.assert_close(found, motion, rtol=1e-4, atol=1e-5)
    assert motion.std(1).min() > 1e-3  # it moves
