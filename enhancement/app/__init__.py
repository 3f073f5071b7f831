"""`enhance app`: a page on this machine that enhances photographs, video and a camera's frames."""
