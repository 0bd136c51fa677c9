"""What is shown of separations: pages to listen to, tables and plots of scores."""
