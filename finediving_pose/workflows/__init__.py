"""What a command does, by composing rooms."""
