"""What a job may use, cost and take, before it is sent: tokens by whatever counts best, money as a range, time by what binds."""
