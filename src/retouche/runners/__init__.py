"""Who works through many pictures: this process, several, or a cluster; what is done with each is the work's matter."""
