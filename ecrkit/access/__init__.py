"""Access to ECR."""
