// An echo in Go as it is usually written: a goroutine for each connection, with a buffer of the 32 KiB
// that io.Copy would take. Go sets TCP_NODELAY itself.
//
//	echo_go --port 0 --ready-file FILE
//	echo_go --tls 0 --certificate FILE --ready-file FILE
package main

import (
	"crypto/tls"
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

func listen(transport string) (net.Listener, error) {
	if transport == "tcp" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[4], os.Args[4])
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
}

func tellReady(transport string, address string, file string) error {
	if err := os.WriteFile(file+".part", []byte(transport+" "+address+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

func main() {
	transport := "tcp"
	if os.Args[1] == "--tls" {
		transport = "tls"
	}
	listener, err := listen(transport)
	if err != nil {
		log.Fatal(err)
	}
	if err = tellReady(transport, listener.Addr().String(), os.Args[len(os.Args)-1]); err != nil {
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
