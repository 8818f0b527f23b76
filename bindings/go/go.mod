module jobstore

go 1.19
