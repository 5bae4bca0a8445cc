"""Every file format, in and out. Input is checked here, at the border, and trusted
inside."""
