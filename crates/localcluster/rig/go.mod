module localcluster/rig

go 1.24
