"""The account at CometAPI: what it says about predictions, charges and unknown submissions."""
