"""What the operator declared: a TOML file becomes frozen values."""
