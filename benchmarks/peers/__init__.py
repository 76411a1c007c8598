"""batchllm beside other tools of its kind: each in an environment of its own, the same job, a neutral server, round by round."""
