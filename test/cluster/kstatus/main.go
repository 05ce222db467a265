// Prints the status that kstatus, the library of Flux, kpt and others, computes for each object of a JSON array on stdin.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	var objects []json.RawMessage
	must(json.NewDecoder(os.Stdin).Decode(&objects))
	for _, text := range objects {
		var object unstructured.Unstructured
		must(object.UnmarshalJSON(text))
		result, err := status.Compute(&object)
		must(err)
		fmt.Println(result.Status)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
