"""Speed and memory, each figure beside a bound or a peer measured in the same run."""
