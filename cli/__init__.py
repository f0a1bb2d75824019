"""The one console command, `onebar`."""
