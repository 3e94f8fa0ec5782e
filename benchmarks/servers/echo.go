// An echo in Go as it is usually written: a goroutine for each connection, with a buffer of the 32 KiB
// that io.Copy would take. Go sets TCP_NODELAY itself.
//
//	echo_go --port 0 --ready-file FILE
package main

import (
	"log"
	"net"
	"os"
)

func serve(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 32*1024)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func tellReady(address string, file string) error {
	if err := os.WriteFile(file+".part", []byte("tcp "+address+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err = tellReady(listener.Addr().String(), os.Args[4]); err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection)
	}
}
