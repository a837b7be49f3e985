"""Headings by which the columns of tables are known, spelt as `files.normalise_heading` does."""

NAME = ("name", "label", "class", "class_name", "label_name", "category", "action")
NAME += ("names", "labels", "classes", "categories", "actions")
ID = ("id", "index", "idx", "number", "class_id", "label_id", "class_index", "label_index", "class_idx", "label_idx")
TEXT = ("text",)
PATH = ("path", "video", "file", "filename", "file_name", "filepath", "file_path", "video_path", "clip")
OF_CLIPS = (*PATH, "youtube_id")  # that only a list of clips has
