"""What is shown of a separation: pages to listen to."""
