// The server in Go: one goroutine accepts, and each connection has one of its own.
//
// It does what the servers in src/wire/serve do, with the same buffer and the same options, and is
// started in the same way: `serve go MANNER WORKERS`, with GOMAXPROCS set to the number of workers.
// TCP_NODELAY is set by the library for every connection. It ends when its stdin does.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

const bufferBytes = 256

func main() {
	if len(os.Args) != 5 || (os.Args[3] != "echo" && os.Args[3] != "once") {
		fmt.Fprintln(os.Stderr, "usage: serve go echo|once WORKERS")
		os.Exit(1)
	}
	attend := echo
	if os.Args[3] == "once" {
		attend = once
	}
	go endWithStdin()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go attend(connection)
	}
}

func endWithStdin() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// A client that has gone is no error.
func echo(connection net.Conn) {
	defer connection.Close()
	var buffer [bufferBytes]byte
	for {
		bytes, err := connection.Read(buffer[:])
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:bytes]); err != nil {
			return
		}
	}
}

func once(connection net.Conn) {
	defer connection.Close()
	var buffer [bufferBytes]byte
	bytes, err := connection.Read(buffer[:])
	if err != nil {
		return
	}
	connection.Write(buffer[:bytes])
}
