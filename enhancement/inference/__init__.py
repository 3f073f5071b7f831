"""Running networks: frames, tiles, files, video, exported graphs."""
