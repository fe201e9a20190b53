"""The vocabulary: is it whole, is it safe, and are its numbers right?"""
