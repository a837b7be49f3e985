"""What video files are called, and what they may hold."""

# Of files that are videos wherever they lie. Pictures (.webp, .avif, .png) that may move are read where they are named.
SUFFIXES = (".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".apng", ".asf", ".avc", ".avi", ".divx", ".dv", ".f4v")
SUFFIXES += (".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2")
SUFFIXES += (".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4", ".mpg")
SUFFIXES += (".mpg4", ".mpv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".tp")
SUFFIXES += (".trp", ".ts", ".vob", ".vro", ".webm", ".wmv", ".xvid", ".y4m")
# By what they hold, whatever a file is called. Left out is what opens further files (concat, hls, dash, imf), asks the
# network (sdp, rtsp), or makes pictures of anything (tty, lavfi, rawvideo).
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,mpegvideo,ogg,gif,nut,mxf,ivf,m4v,h264,hevc"
FORMATS += ",mjpeg,obu,apng,image2,jpeg_pipe,png_pipe,webp_pipe,webp_anim,bmp_pipe,mp3,wav,aac,flac,dv,rm,yuv4mpegpipe"
