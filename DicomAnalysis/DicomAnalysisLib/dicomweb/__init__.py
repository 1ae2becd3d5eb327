"""DICOM objects to and from a PACS by DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS.

HTTP and TLS are left to requests, which also Slicer brings. Queries, multipart messages and
transfers are the project's own: dicomweb-client holds whole objects in memory, takes a part
that was cut off for a whole one, and decodes and encodes data sets again on their way.
Here an object goes from socket to disk and from disk to socket in small pieces and
arrives as the bytes that were sent; an answer is believed in nothing that was not checked.
"""
