"""What happens beside training: saving, stopping, averaging, clips to listen to, speed, the progress bar."""
