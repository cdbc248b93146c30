"""What the hardware can do: seconds of kernels on a device and of messages between devices."""
