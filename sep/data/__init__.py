"""Training material: folders of stems are indexed, decoded, cropped, mixed to batches."""
