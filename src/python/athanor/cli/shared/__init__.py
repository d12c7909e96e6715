"""What all command lines share: the terminal, progress bars, and the Ray that a command runs on."""
