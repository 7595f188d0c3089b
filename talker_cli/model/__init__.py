"""The network, its diffusion process, and its files."""
