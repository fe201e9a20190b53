"""The pages in a real Chromium without a window: a teacher and two pupils, each with a browser profile of his own."""
