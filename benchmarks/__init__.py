"""What batchllm's speed and memory are measured with; nothing here is part of the package."""
