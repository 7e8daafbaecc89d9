"""Convert weights of other projects, and publish and deploy checkpoints."""
