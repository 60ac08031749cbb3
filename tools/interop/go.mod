module outrigger/interop

go 1.21
