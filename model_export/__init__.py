"""From a trained checkpoint to the bundle that serving runs: graphs, int8, manifest and measured parity."""
