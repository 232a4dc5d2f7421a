"""The account at CometAPI: what it says about prices, its balance, predictions, charges and unknown submissions.

The routes are known from documentation only. So every answer is read totally: any bytes become a value, or one note.
"""
