"""Writes a CSV of invented reviews: python make_reviews.py 10000 > reviews.csv"""

import csv
import random
import sys

THINGS = ("kettle", "desk lamp", "rucksack", "keyboard", "rain jacket", "office chair", "bread knife", "headphones")
GOOD = ("works as described", "arrived a day early", "is easy to clean", "feels well made", "was worth the price")
BAD = ("broke after a week", "came without its cable", "is louder than I thought", "smells of glue", "was sent twice")

chance = random.Random(7)
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["id", "review"])
for number in range(1, int(sys.argv[1]) + 1):
    parts = [chance.choice(GOOD if chance.random() < 0.6 else BAD) for _ in range(chance.randint(1, 3))]
    bought = f"order {chance.randint(10_000, 99_999)}-{number % 97}"
    out.writerow([f"review-{number:05}", f"The {chance.choice(THINGS)} ({bought}) " + ", and it ".join(parts) + "."])
