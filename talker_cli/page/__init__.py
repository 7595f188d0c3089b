"""A folder that any static web server serves: a face that listens, by the student, in the visitor's browser."""
