# Filled with the package config.
