"""What people look at: overlays, plots and pages."""
