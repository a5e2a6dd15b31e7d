"""A page on this machine in which the latent space of a run is explored."""
