package jobstore

// #include <jobstore.h>
import "C"

import "errors"

// An Error says why a call failed.
type Error struct {
	// Code is one of the constants JOBSTORE_ERROR_... of jobstore.h.
	Code int
	// Name is the name of the error, such as "UnknownGraph".
	Name string
	// Message states the problem and its remedy.
	Message string
	// JSON is the response to the client in the GES job-list API, and Status its HTTP status.
	JSON   string
	Status int
}

func (e *Error) Error() string { return e.Message }

// IsName returns whether an error is an Error with this name.
func IsName(err error, name string) bool {
	var e *Error
	return errors.As(err, &e) && e.Name == name
}

// newError returns the error of a call, or nil if it succeeded. It frees the error of the library.
func newError(code C.int32_t, e *C.jobstore_error) error {
	if code == C.JOBSTORE_OK {
		return nil
	}
	defer C.jobstore_error_free(e)
	return &Error{
		Code:    int(code),
		Name:    C.GoString(C.jobstore_error_name(e)),
		Message: C.GoString(C.jobstore_error_message(e)),
		JSON:    C.GoString(C.jobstore_error_json(e)),
		Status:  int(C.jobstore_error_status(e)),
	}
}
