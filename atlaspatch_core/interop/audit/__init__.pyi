from .run import audit_folder as audit_folder
