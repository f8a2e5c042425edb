"""The layers of the network: causal convolutions, and what is around them."""
