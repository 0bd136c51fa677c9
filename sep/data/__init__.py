"""Training material: folders of stems are indexed, decoded, cropped and mixed to batches."""
