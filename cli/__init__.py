"""The console command `onebar`."""
